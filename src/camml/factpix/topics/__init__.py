"""The topics of FactPix; a file here is a topic, see `camml.factpix.catalog.Topic`."""
