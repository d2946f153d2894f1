"""Features of images and samples from the frozen parts of a model, cached on disk.

`tower` keeps the features of images, `once` those of a single batch, `samples` what the perceivers make of a sample;
`passages` chooses what is read of long texts, `reranking` orders samples by a cross-encoder.
"""
