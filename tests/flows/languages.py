"""Sources in every language that is detected, each a service that greets."""

from __future__ import annotations

EXPRESS = {
    "package.json": '{"name":"web","scripts":{"start":"node server.js"},"dependencies":{"express":"4.21.2"}}',
    "server.js": "const app = require('express')();\n"
    "app.get('/', (_, answer) => answer.send('hello from express'));\napp.listen(process.env.PORT);\n",
}
GO = {
    "go.mod": "module example.com/web\n\ngo 1.21\n",
    "main.go": 'package main\nimport ("fmt"; "net/http"; "os")\nfunc main() {\n'
    '\thttp.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello from go") })\n'
    '\tpanic(http.ListenAndServe(":"+os.Getenv("PORT"), nil))\n}\n',
}
STATIC = {"index.html": "hello from a file", ".env": "SECRET=1", "a/.hidden": "x"}
DOCKERFILE = {
    "Dockerfile": "FROM python:3.11-slim\nWORKDIR /srv\nRUN echo 'hello from an image' >index.html\n"
    'EXPOSE 9090\nCMD ["python", "-m", "http.server", "9090"]\n',
}
FLASK = {
    "requirements.txt": "flask==3.1.0\n",
    "app.py": "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef home(): return 'hello from flask'\n",
}
SOURCES = {
    "express": (EXPRESS, "hello from express"),
    "go": (GO, "hello from go"),
    "static": (STATIC, "hello from a file"),
    "dockerfile": (DOCKERFILE, "hello from an image"),
    "flask": (FLASK, "hello from flask"),
}
