"""Answers over HTTP: an OpenAI-compatible API and a page, on interchangeable engines.

engines/        what turns a question and its samples into text, many at a time
service.py      settings, stores and engine together: one question in, evidence and a stream of text out
application.py  the same over HTTP
"""
