"""What the options and subcommands of rico-hdl, the original tool, are called here."""

from collections.abc import Collection, Sequence

# Its subcommands, and the options that name the same datasets here.
_SUBCOMMANDS = {
    "bigearthnet": "--bigearthnet-s1-root S1 --bigearthnet-s2-root S2",
    "eurosat-multi-spectral": "--eurosat-ms DIR",
    "hydro": "--hydro DIR",
    "hyspecnet-11k": "--hyspecnet DIR",
    "major-tom-core": "--major-tom-s1-rtc S1 --major-tom-s2-l2a S2",
    "spectral-earth-enmap": "--spectral-earth DIR",
    "ssl4eo-s12": "--ssl4eo-s12-s1 S1 --ssl4eo-s12-s2-l1c L1C --ssl4eo-s12-s2-l2a L2A",
    "uc-merced": "--uc-merced DIR",
}
_OPTIONS = {
    "--bigearthnet-s1-dir": "--bigearthnet-s1-root",
    "--bigearthnet-s2-dir": "--bigearthnet-s2-root",
    "--bigearthnet-reference-maps": "--bigearthnet-reference-maps-root",
    "--bigearthnet-reference-maps-dir": "--bigearthnet-reference-maps-root",
    "--s1-dir": "--ssl4eo-s12-s1 or --major-tom-s1-rtc",
    "--s2-dir": "--major-tom-s2-l1c or --major-tom-s2-l2a",
    "--s2-l1c-dir": "--ssl4eo-s12-s2-l1c",
    "--s2-l2a-dir": "--ssl4eo-s12-s2-l2a",
    "--num-workers": "--workers",
}


def hint_for_words(words: Sequence[str], sources: Collection[str]) -> str | None:
    """Say how a command is written here that begins with a subcommand of the original tool.

    Parameters
    ----------
    words : sequence of str
        The words behind the verb.
    sources : collection of str
        The options that name sources here. Where there is one of them, the first word is a
        target that is called like a dataset.
    """
    if not words or words[0] not in _SUBCOMMANDS:
        return None
    if any(word.partition("=")[0] in sources for word in words[1:]):
        return None
    return (
        f"{words[0]} is no verb here; the option names the dataset: rs-tensor-encoder "
        f"{_SUBCOMMANDS[words[0]]} TARGET"
    )


def hint_for_option(option: str) -> str | None:
    """Say what an option of the original tool is called here."""
    if option == "--target-dir":
        return "There is no --target-dir here: the target stands without an option, as TARGET."
    if option == "--dataset-dir":
        return (
            "There is no --dataset-dir here: the option names the dataset, for example --hyspecnet "
            "DIR; rs-tensor-encoder layouts lists all datasets."
        )
    if option in _OPTIONS:
        return f"{option} is called {_OPTIONS[option]} here."
    return None
