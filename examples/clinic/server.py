"""The clinic's application server: `python -m examples.clinic.server DIRECTORY --log-id HEX`.

    POST /login                       {identifier, password}: a bearer session, as text
    POST /token                       an identity token for whoever is logged in
    GET, POST /appointments/PATIENT   days; a day
    GET, POST /folders/PATIENT        numbers; sealed bytes in, their number out
    GET /sealed/NUMBER                sealed bytes

Of Keyroll it needs one thing: to say who people are, by tokens. DIRECTORY/keys holds the keys for
that (`keyroll app init` makes them; the cold ones belong elsewhere). It prints its address.

A bearer session is all that there is to its logins: put TLS, rate limits and what else your
application has around it. Whoever takes this server over sees appointments and who writes to whom.
They don't see what is written, nor can they make anybody seal to other keys than the log proves.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from examples.clinic.records import Person, Records
from ledger.app import keys
from ledger.app.enrolment import Register, enrol

TOKEN_MS = 3_600_000
"""An hour: a token is used at once."""

MAX_SEALED_BYTES = 8_388_608


class Clinic:
    """What the server answers."""

    def __init__(self, records: Records, token: Callable[[str], str]) -> None:
        """`token` makes an identity token for an identifier."""
        self._records = records
        self._token = token

    def application(self) -> web.Application:
        """All of it, to be served."""
        app = web.Application(client_max_size=MAX_SEALED_BYTES)
        app.add_routes(
            [
                web.post("/login", self.login),
                web.post("/token", self.token),
                web.get("/appointments/{patient}", self.appointments),
                web.post("/appointments/{patient}", self.book),
                web.get("/folders/{patient}", self.folder),
                web.post("/folders/{patient}", self.keep),
                web.get(r"/sealed/{number:\d{1,9}}", self.sealed),
            ]
        )
        return app

    async def login(self, request: web.Request) -> web.Response:
        """A session."""
        fields = await request.post()
        identifier, password = str(fields.get("identifier")), str(fields.get("password"))
        session = self._records.login(identifier, password)
        if session is None:
            raise web.HTTPForbidden(text="no such person, or another password")
        return web.Response(text=session)

    async def token(self, request: web.Request) -> web.Response:
        """Who they are, for the log. To the person themselves, and to nobody else."""
        return web.Response(text=self._token(self._person(request).identifier))

    async def book(self, request: web.Request) -> web.Response:
        """An appointment."""
        patient = self._patient(request)
        self._records.book(patient, await request.text())
        return web.Response(status=204)

    async def appointments(self, request: web.Request) -> web.Response:
        """Their days."""
        return web.json_response(self._records.appointments(self._patient(request)))

    async def keep(self, request: web.Request) -> web.Response:
        """Something sealed, into a folder."""
        patient = self._patient(request)
        number = self._records.keep(patient, await request.read())
        return web.json_response(number)

    async def folder(self, request: web.Request) -> web.Response:
        """What is in it."""
        return web.json_response(self._records.folder(self._patient(request)))

    async def sealed(self, request: web.Request) -> web.Response:
        """Something sealed."""
        person = self._person(request)
        found = self._records.sealed(int(request.match_info["number"]))
        if found is None or not self._records.may_see(person, found[0]):
            raise web.HTTPNotFound(text="there is nothing of this number, for you")
        return web.Response(body=found[1])

    def _person(self, request: web.Request) -> Person:
        """Who is logged in."""
        scheme, _, session = request.headers.get("Authorization", "").partition(" ")
        person = self._records.who(session) if scheme == "Bearer" else None
        if person is None:
            raise web.HTTPUnauthorized(text="log in first")
        return person

    def _patient(self, request: web.Request) -> str:
        person, patient = self._person(request), request.match_info["patient"]
        if not self._records.may_see(person, patient):
            raise web.HTTPForbidden(text="this is another patient's")
        return patient


async def serve(directory: Path, log_id: bytes) -> None:
    """Serve what is in `directory` until the process is told to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    enrolment = keys.load(directory / "keys", keys.Role.ENROLMENT)
    master = keys.master(directory / "keys")
    with (
        Records.open(directory / "clinic.db") as records,
        Register.open(directory / "register.db") as register,
    ):

        def token(identifier: str) -> str:
            expiry = time.time_ns() // 1_000_000 + TOKEN_MS
            made = enrol(identifier, log_id, enrolment, master, register, expiry=expiry)
            return made.export()

        runner = web.AppRunner(Clinic(records, token).application())
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            print(f"http://{host}:{port}", flush=True)
            await stopping.wait()
        finally:
            await runner.cleanup()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="The clinic's application server.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--log-id", type=bytes.fromhex, required=True)
    chosen = parser.parse_args()
    asyncio.run(serve(chosen.directory, chosen.log_id))


if __name__ == "__main__":
    main()
