"""A person's login with the clinic.

>>> async with Portal.login(url, "ada@patients.example", password) as portal:    # doctest: +SKIP
...     number = await portal.put("ada@patients.example", sealed)

Errors: `aiohttp.ClientResponseError`, whose status says why the clinic would not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import quote

from aiohttp import ClientSession, ClientTimeout

from ledger import IdentityToken

_PATIENCE = ClientTimeout(total=30)


class Portal:
    """What the clinic does for somebody who is logged in."""

    def __init__(self, http: ClientSession) -> None:
        self._http = http

    @classmethod
    @asynccontextmanager
    async def login(cls, url: str, identifier: str, password: str) -> AsyncIterator[Self]:
        """Log in at the clinic at `url`."""
        fields = {"identifier": identifier, "password": password}
        async with ClientSession(url, raise_for_status=True, timeout=_PATIENCE) as http:
            async with http.post("/login", data=fields) as answer:
                http.headers["Authorization"] = f"Bearer {await answer.text()}"
            yield cls(http)

    async def token(self) -> IdentityToken:
        """Who one is, by the clinic's word."""
        async with self._http.post("/token") as answer:
            return IdentityToken.parse(await answer.text())

    async def book(self, patient: str, day: str) -> None:
        """An appointment on `day` (an ISO date)."""
        async with self._http.post(f"/appointments/{quote(patient)}", data=day):
            pass

    async def appointments(self, patient: str) -> list[str]:
        """The days of a patient's appointments."""
        async with self._http.get(f"/appointments/{quote(patient)}") as answer:
            return [str(day) for day in await answer.json()]

    async def put(self, patient: str, sealed: bytes) -> int:
        """Sealed bytes into a patient's folder; their number."""
        async with self._http.post(f"/folders/{quote(patient)}", data=sealed) as answer:
            return int(await answer.text())

    async def folder(self, patient: str) -> list[int]:
        """The numbers of what is in a patient's folder."""
        async with self._http.get(f"/folders/{quote(patient)}") as answer:
            return [int(number) for number in await answer.json()]

    async def get(self, number: int) -> bytes:
        """Sealed bytes."""
        async with self._http.get(f"/sealed/{number}") as answer:
            return await answer.read()
