// Verifies COSE_Sign messages with @auth0/cose, every signature by its own kid.
//
// Reads a JSON array of {message, aad} in hexadecimal; writes, for each, an array of booleans.
//
// The library reads the message, builds what is signed and verifies. Its Sign.verify takes an
// `externalAAD` and leaves it out of what is signed, so its parts are put together here.
import { COSEKey, COSEKeyParam, Curve, KeyType, Sign } from "@auth0/cose";
import { text } from "node:stream/consumers";

async function keyOf(kid) {
  const fields = [[COSEKeyParam.KeyType, KeyType.OKP], [COSEKeyParam.Curve, Curve.Ed25519]];
  return new COSEKey([...fields, [COSEKeyParam.x, kid]]).toKeyLike();
}

async function verify({ message, aad }) {
  const sign = Sign.decode(Buffer.from(message, "hex"));
  const body = sign.encodedProtectedHeaders;
  return Promise.all(sign.signatures.map(async (signature) => {
    const { Signature } = signature.constructor;
    const own = signature.encodedProtectedHeaders;
    const signed = Signature(body, own, Buffer.from(aad, "hex"), sign.payload);
    try {
      await signature.internalVerify(signed, await keyOf(signature.kid));
      return true;
    } catch {
      return false;
    }
  }));
}

const given = JSON.parse(await text(process.stdin));
console.log(JSON.stringify(await Promise.all(given.map(verify))));
