"""Tells its credentials by all ways out that are no messages, in every form in which a program may write them."""

import json
import signal
import sys
import time

from canary import written


def say(type_, **rest):
    print(json.dumps({"type": type_, **rest}), flush=True)


def forms(credentials):
    """Yield each secret in each form, one text each."""
    for name, secret in credentials.items():
        if name not in ("auth", "server", "expires_at"):
            for form, text in written(secret).items():
                yield f"{form} of {name}: {text}"


def tell(credentials):
    for number, text in enumerate(forms(credentials)):
        print("stdout says", text)
        print("stderr says", text, file=sys.stderr)
        say("LOG", level="warning", message=f"the log says {text}")
        say("PROGRESS", done=number, text=text)
    # As the end of a line that is too long for the log, and within one.
    for secret in credentials.values():
        if isinstance(secret, str):
            for room in range(16 * 1024 - 60, 16 * 1024, 10):
                print("x" * room + secret, file=sys.stderr)
                say("LOG", level="info", message="y" * room + secret)
    print(json.dumps(credentials), file=sys.stderr)
    sys.stderr.flush()


def end(then, credentials):
    everything = "; ".join(forms(credentials))
    if then == "error":
        say("ERROR", message=f"refused: {everything}", failure_type="config")
        sys.exit(78)
    if then == "crash":
        raise RuntimeError(everything)
    if then == "break":
        secret = credentials.get("access_token") or credentials.get("token") or credentials["key"]
        print('{"type":"MESSAGE","note":"' + "z" * 70 + secret, flush=True)
        sys.exit(0)
    if then == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        say("LOG", level="info", message="hanging now")
        time.sleep(3600)


def main():
    start = json.loads(sys.stdin.readline())
    if start["type"] != "CONFIG":
        sys.exit(1)
    verb, credentials = sys.argv[1], start["credentials"]
    if verb == "check":
        tell(credentials)
        say("ERROR", message=f"no: {'; '.join(forms(credentials))}", failure_type="config")
        sys.exit(78)
    if sys.argv[2] == "tell":
        tell(credentials)
        end(start["config"].get("then", "succeed"), credentials)
    if sys.argv[2] == "refuse":
        for line in sys.stdin:
            event = json.loads(line)
            if event["type"] == "END":
                break
            text = f"refused with {'; '.join(forms(credentials))}"
            say("ERROR", id=event["message"]["id"], message=text, failure_type="config")
    say("MESSAGE", message={"data": {"well": True}})


main()
