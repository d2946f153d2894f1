"""Features of images and samples from the frozen parts of a model, cached on disk.

`arrays` keeps any arrays, `tower` the features of images, `samples` what the perceivers make of a sample.
"""
