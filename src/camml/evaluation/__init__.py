"""Benchmarks: their questions, official scores, submissions and honest statistics.

task        what a task is; a file in `tasks/` is one
questions   question files in the layouts of the benchmarks    answers  answer files, matched to the questions
metrics/    one file a way of scoring, each equal to its official evaluator
score       a task and an answer file -> a `Score`              statistics  intervals and paired tests
"""
