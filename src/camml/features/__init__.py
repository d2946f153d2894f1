"""What frozen parts of a model compute of an image or a sample, kept on disk so that it is computed once.

`arrays` keeps any arrays, `tower` the features of images, `samples` what the perceivers make of a sample.
"""
