"""Everything CaMML raises on purpose; all of it says what was wrong, where, and what to do.

    CaMMLError
    ├── InputError                input that cannot be used
    │   ├── UnknownNameError      no such encoder, store, verb, prompt style, ...
    │   ├── OptionError           a setting outside its range (shots, mode, ...)
    │   │   ├── TooLargeError     a question that never fits into the memory there is for it
    │   │   └── TooLongError      a question that is longer than the model can read
    │   ├── ImageError            an image that is missing, broken or too large
    │   ├── SampleError           a sample file or sample that cannot be used
    │   └── ModelFolderError      a folder that does not hold the model asked for
    ├── StoreError                a datastore that cannot be used
    │   ├── StoreNotFoundError    no datastore there
    │   ├── EmptyStoreError       a datastore without samples
    │   ├── StoreCorruptedError   a file whose checksum does not fit
    │   ├── StoreLockedError      another process is writing
    │   └── EncoderMismatchError  opened with another encoder than it was built with
    ├── BusyError                 what is asked for can be had later
    ├── PluginError               an entry point of another package that cannot be used
    ├── ClusterError              a cluster that cannot be reached, or that gave up
    ├── FetchError                weights or data that could not be obtained or verified
    └── DiskError                 the disk is full or not writable

The command line turns each of them into one line on standard error and exit code 2.
"""


class CaMMLError(Exception):
    """The root of the tree above.

    Example:
      >>> import camml
      >>> try:
      ...     camml.Datastore.open("no/such/store")
      ... except camml.CaMMLError as error:
      ...     print(type(error).__name__)
      StoreNotFoundError
    """


class InputError(CaMMLError, ValueError):
    """Input from the user that cannot be used."""


class UnknownNameError(InputError):
    """No such name; the message lists those there are."""


class OptionError(InputError):
    """A setting outside its range."""


class TooLargeError(OptionError):
    """A question, or a setting, that never fits into the memory there is for it."""


class TooLongError(OptionError):
    """A question that is longer, with its answer, than the model can read."""


class ImageError(InputError):
    """An image that is missing, broken or too large."""


class SampleError(InputError):
    """A sample file, or a sample in it, that cannot be used."""


class ModelFolderError(InputError):
    """A folder that does not hold the model asked for."""


class StoreError(CaMMLError):
    """A datastore that cannot be used."""


class StoreNotFoundError(StoreError):
    """No datastore at that path."""


class EmptyStoreError(StoreError):
    """A datastore without samples, where some are needed."""


class StoreCorruptedError(StoreError):
    """A datastore file whose content does not fit its checksum."""


class StoreLockedError(StoreError):
    """Another process is writing to the datastore."""


class EncoderMismatchError(StoreError):
    """The datastore was built with another encoder."""


class BusyError(CaMMLError):
    """A request that can be served later, when others have been."""


class PluginError(CaMMLError):
    """An entry point of another package that cannot be used."""


class ClusterError(CaMMLError):
    """A cluster that cannot be reached, or that gave up."""


class FetchError(CaMMLError):
    """Weights or data that could not be obtained or did not verify."""


class DiskError(CaMMLError):
    """The disk is full, or a place on it cannot be written."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or else the name of its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
