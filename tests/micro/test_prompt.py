"""`micro cli`: a prompt, and what comes through a pipe."""

from __future__ import annotations

import time


def test_lines_of_a_pipe_are_commands_and_the_exit_code_of_the_last_that_failed_counts(user, everything):
    lines = "services\n\n# a comment\nmicro everything echo --name 'Joe Doe' --output=raw\n"
    done = user.micro("cli", stdin=lines)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "everything"
    assert '"name": "Joe Doe"' in done.stdout
    done = user.micro("cli", stdin='env get\n"open\nnosuch\nexit\nenv get\n')
    assert (done.returncode, done.stdout) == (1, "local\n")
    assert done.stderr.splitlines()[0] == '"open: No closing quotation'
    assert "Unrecognized micro command: nosuch" in done.stderr
    done = user.micro("cli", stdin="env set nosuch\nkill nosuch\nenv get\n")
    assert (done.returncode, done.stdout) == (127, "local\n")


def test_the_options_of_the_prompt_hold_for_each_line(user):
    user.micro("env", "add", "lab", "lab.example:8081")
    assert user.micro("-e", "lab", "cli", stdin="env get\n").stdout == "lab\n"


def test_a_prompt_completes_and_remembers_but_no_secrets(user, everything):
    with user.at_a_terminal("micro", "cli") as prompt:
        prompt.sees("micro> ")
        prompt.type("everyth\t")
        prompt.sees("everything ")
        prompt.type("ec\t--output raw --na\tJoe\n")
        prompt.sees('"name": "Joe"')
        prompt.sees("micro> ")
        prompt.type("login --username admin --password hunter2\n")
        prompt.sees("ecret not correct")
        prompt.sees("micro> ")
        time.sleep(0.5)  # Python's readline misses a signal between the prompt and its wait for a key
        prompt.type("\x03")
        prompt.sees("micro> ")
        prompt.type("\x04")
        assert prompt.exit_code() == 0
    history = user.home / ".micro" / "history"
    assert history.stat().st_mode & 0o777 == 0o600
    assert "everything echo --output raw --name Joe" in history.read_text()
    assert "hunter2" not in history.read_text()


def test_ctrl_c_ends_the_command_and_not_the_prompt(user, everything):
    with user.at_a_terminal("micro", "cli") as prompt:
        prompt.sees("micro> ")
        prompt.type("everything each\n")
        prompt.sees("Ctrl-D ends.")
        prompt.type("\x03")
        prompt.sees("micro> ")
        prompt.type("exit\n")
        assert prompt.exit_code() == 0
