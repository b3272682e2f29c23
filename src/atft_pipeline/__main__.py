"""``python -m atft_pipeline``: ``kedro run`` of the installed package, in any folder, with its ``--conf-source``."""

from typing import Any

from kedro.framework.project import configure_project

PACKAGE = "atft_pipeline"


def main(*arguments: Any, **options: Any) -> Any:
    """Run a pipeline; options are those of ``kedro run``.

    Args:
        arguments: words of the command line, ``None`` = those of this process.
        options: of click's ``main``.
    """
    configure_project(PACKAGE)
    from atft_pipeline.cli import cli  # noqa: PLC0415  (needs the project)

    command: Any = cli.commands["run"]
    return command.main(*arguments, prog_name=PACKAGE, **options)


if __name__ == "__main__":
    main()
