"""Signs and verifies folders as OpenSSF's model signing does, with none of medprobe's code.

The steps are those of sigstore/model-transparency 1.1 (manifest.py, _signing/signing.py,
_signing/sign_ec_key.py, _serialization/file.py), over the cryptography package:

    model_signing.py sign DIR SIGNATURE PRIVATE.pem
    model_signing.py verify DIR SIGNATURE PUBLIC.pem     prints what it found as JSON, or fails
    model_signing.py envelope BUNDLE PUBLIC.pem          prints the payload of any signed bundle
"""
import base64
import hashlib
import json
import pathlib
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TYPE = "application/vnd.in-toto+json"
HASH = {256: hashes.SHA256, 384: hashes.SHA384, 521: hashes.SHA512}
GIT = [".git", ".gitattributes", ".github", ".gitignore"]


def pae(payload):
    return b" ".join([f"DSSEv1 {len(TYPE)} {TYPE} {len(payload)}".encode(), payload])


def hint(public):
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def manifest(folder, ignored):
    items = {}
    for path in folder.glob("**/*"):
        rel = path.relative_to(folder)
        if any(pathlib.PurePosixPath(i) in [rel, *rel.parents] for i in ignored):
            continue
        if path.is_symlink():
            raise ValueError(f"{rel}: symlinks are not allowed")
        if path.is_file():
            items[pathlib.PurePosixPath(rel)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return items


def root(digests):
    return hashlib.sha256(b"".join(bytes.fromhex(d) for d in digests)).hexdigest()


def sign(folder, signature, key):
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    ignored = [str(signature.resolve().relative_to(folder.resolve()))] + GIT
    items = sorted(manifest(folder, ignored).items())
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": folder.name, "digest": {"sha256": root(d for _, d in items)}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": ignored},
            "resources": [{"name": str(n), "algorithm": "sha256", "digest": d} for n, d in items],
        },
    }
    payload = json.dumps(statement, indent=2).encode()
    raw = private.sign(pae(payload), ec.ECDSA(HASH[private.key_size]()))
    signature.write_text(json.dumps({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": hint(private.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(), "payloadType": TYPE,
            "signatures": [{"sig": base64.b64encode(raw).decode(), "keyid": ""}],
        },
    }))


def envelope(bundle, key):
    public = serialization.load_pem_public_key(key.read_bytes())
    b = json.loads(bundle.read_text())
    if b["mediaType"] != "application/vnd.dev.sigstore.bundle.v0.3+json":
        raise ValueError(b["mediaType"])
    if b["verificationMaterial"]["publicKey"]["hint"] != hint(public) or b["verificationMaterial"]["tlogEntries"] != []:
        raise ValueError("key mismatch")
    e = b["dsseEnvelope"]
    payload = base64.b64decode(e["payload"], validate=True)
    (only,) = e["signatures"]
    public.verify(base64.b64decode(only["sig"], validate=True), pae(payload), ec.ECDSA(HASH[public.key_size]()))
    if e["payloadType"] != TYPE:
        raise ValueError(e["payloadType"])
    return payload


def verify(folder, signature, key):
    statement = json.loads(envelope(signature, key))
    if statement["_type"] != "https://in-toto.io/Statement/v1" or statement["predicateType"] != "https://model_signing/signature/v1.0":
        raise ValueError("statement of another type")
    (subject,) = statement["subject"]
    predicate = statement["predicate"]
    how = predicate["serialization"]
    if how["method"] != "files" or how["hash_type"] != "sha256" or how["allow_symlinks"] is not False:
        raise ValueError(f"serialization {how}")
    signed = {pathlib.PurePosixPath(r["name"]): r["digest"] for r in predicate["resources"]}
    if root(r["digest"] for r in predicate["resources"]) != subject["digest"]["sha256"]:
        raise ValueError("manifest is inconsistent")
    if list(signed) != sorted(signed):
        raise ValueError("resources are not in order")
    # As model_signing does, git's files are not looked at.
    if manifest(folder, how.get("ignore_paths", []) + GIT) != signed:
        raise ValueError("signature mismatch")
    return {"name": subject["name"], "resources": len(signed)}


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    paths = [pathlib.Path(p) for p in paths]
    if what == "sign":
        sign(*paths)
    elif what == "verify":
        print(json.dumps(verify(*paths)))
    else:
        sys.stdout.buffer.write(envelope(*paths))
