"""Nobody but the page itself may speak to the server."""

import socket
from urllib.parse import urlsplit

import pytest

from cinesr.viewer.security import HEADERS
from viewer_cases import PATIENCE_S


def ask(page, path="api/state", method="GET", **headers):
    return page.client.request(method, path, headers=headers)


def test_the_page_itself_is_served(page):
    own = page.served.address.split("/", 3)[:3]
    for headers in ({}, {"Origin": "/".join(own)}, {"Sec-Fetch-Site": "same-origin"}):
        assert ask(page, **headers).status_code == 200
    assert ask(page, **{"Sec-Fetch-Site": "none"}).status_code == 200
    assert "<html" in ask(page, "").text.lower()


def test_it_may_be_called_localhost(page):
    port = urlsplit(page.served.address).port
    assert ask(page, Host=f"localhost:{port}").status_code == 200
    own = {"Host": f"localhost:{port}", "Origin": f"http://localhost:{port}"}
    assert ask(page, **own).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "x" * 32, "%E2%82%AC", "api"])
def test_a_wrong_token_finds_nothing(page, token):
    address = urlsplit(page.served.address)
    for path in ("", "/", "/api/state", "/index.html"):
        answer = page.client.get(f"http://{address.netloc}/{token}{path}")
        assert answer.status_code == 404
        assert "series" not in answer.text


def test_the_token_cannot_be_guessed(page):
    token = urlsplit(page.served.address).path.strip("/")
    assert len(token) >= 32


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}", "0.0.0.0:{port}"]
)
def test_another_host_is_misdirected(page, host):
    port = urlsplit(page.served.address).port
    answer = ask(page, Host=host.format(port=port))
    assert answer.status_code == 421
    assert "series" not in answer.text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://localhost:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_is_refused(page, method, headers):
    port = urlsplit(page.served.address).port
    headers = {name: value.format(port=port) for name, value in headers.items()}
    answer = ask(page, method=method, **headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["", "api/state", "nothing", "api/series/x/frames"])
def test_every_answer_forbids_what_a_page_does_not_need(page, path):
    answers = [ask(page, path), ask(page, path, Origin="https://evil.example")]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "server" not in answer.headers
    policy = answers[0].headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_only_this_computer_is_listened_to(page):
    assert page.served.listener.getsockname()[0] == "127.0.0.1"
    assert page.served.listener.family == socket.AF_INET


@pytest.mark.parametrize(
    "path", ["../cli.py", "%2e%2e/cli.py", "..%2fcli.py", "%2e%2e%2f%2e%2e%2fcli.py", "/etc/passwd"]
)
def test_files_beside_the_page_stay_hidden(page, path):
    address = urlsplit(page.served.address)
    with socket.create_connection((address.hostname, address.port)) as connection:
        request = f"GET {address.path}{path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        connection.sendall(request.encode())
        connection.settimeout(PATIENCE_S)
        assert connection.recv(4096).split()[1] == b"404"
