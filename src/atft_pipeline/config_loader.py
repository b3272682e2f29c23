"""Configuration that is valid by itself: whoever loads the project, with its hooks or without, reads the same.

kedro-viz and notebooks may load the project without hooks, so what the configuration needs to be complete stands here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from atft_pipeline.config import overlay
from atft_pipeline.errors import ConfigError
from atft_pipeline.pipelines.hpo.winner import with_winner
from atft_pipeline.source import check_paths, with_source

# Credentials that a dataset names and that may be absent.
OPTIONAL_CREDENTIALS: dict[str, dict[str, str]] = {"hpo_storage": {}}
# What a broken file makes Kedro, OmegaConf and PyYAML raise; a number in place of a mapping is an OSError.
BROKEN = (yaml.YAMLError, ValueError, AttributeError, TypeError, OSError, OmegaConfBaseException)


class ProjectConfigLoader(OmegaConfigLoader):
    """Kedro's loader with five differences.

    An environment lies over the base key by key, not group by group; lists and empty mappings replace, and so does an
    entry of the catalog. Credentials that are optional are there, empty. ``training.from_study`` lays the winner of a
    search over the parameters. A run that names no prices reads those that the last one read. A file that cannot be
    read is a :class:`ConfigError` of one line, without a word of what credentials hold.
    """

    def __init__(self, conf_source: str | Path, env: str | None = None, **options: Any) -> None:
        folder = Path(conf_source)
        if folder.is_dir():
            options = {**options, **check_environment(folder, env, options)}
            check_paths(options.get("runtime_params") or {})
            options["runtime_params"] = with_source(project_of(folder), options.get("runtime_params") or {})
        super().__init__(conf_source, env, **options)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return the merged configuration of one kind, such as ``parameters``.

        Raises:
            ConfigError: a file is broken, or a value cannot be resolved.
        """
        given = key in self
        try:
            found = super().__getitem__(key)
        except MissingConfigException:
            if key != "credentials":
                raise
            found = {}
        except BROKEN as error:
            raise ConfigError(self._reason(key, error)) from None
        if key == "credentials":
            return {**OPTIONAL_CREDENTIALS, **found}
        if key == "parameters" and not given:
            asked: Any = OmegaConf.to_container(OmegaConf.create(self.runtime_params or {}), resolve=True)
            return with_winner(overlay(found, asked), asked, self._project())
        return found

    def _merge_configs(self, config: dict[str, Any], env_config: dict[str, Any], key: str, env_path: str) -> Any:
        if key in {"catalog", "credentials"}:
            return super()._merge_configs(config, env_config, key, env_path)
        return overlay(config, env_config)

    def _project(self) -> Path:
        return project_of(Path(self.conf_source))

    def _files(self, key: str) -> Iterable[Path]:
        """Files of one kind, of the base and of the environment."""
        for folder in dict.fromkeys([self.base_env, self.env or self.default_run_env]):
            for pattern in self.config_patterns[key]:
                for path in sorted(Path(self.conf_source, folder).glob(pattern)):
                    if path.suffix in {".yml", ".yaml", ".json"} and not self._is_hidden(str(path)):
                        yield path

    def _reason(self, key: str, error: Exception) -> str:
        """Say in one line which file is broken, or what cannot be resolved."""
        secret = key == "credentials"
        for path in self._files(key):
            broken = fault(path, secret=secret)
            if broken:
                return f"{self._shown(path)}{broken}"
        if secret:
            return "credentials: cannot be resolved; check the interpolations in conf/*/credentials.yml"
        if key == "parameters" and self.runtime_params:
            plain = OmegaConfigLoader(
                self.conf_source, self.env, base_env=self.base_env, default_run_env=self.default_run_env
            )
            name = clash(plain["parameters"], self.runtime_params)
            if name:
                return f"parameter {name}: give its keys, such as --params {name}.KEY=VALUE, instead of one value"
        text = " ".join(str(error).split())
        for path in self._files(key):
            text = text.replace(str(path), self._shown(path))
        return f"{key} of conf: {text}"

    def _shown(self, path: Path) -> str:
        folder = Path(self.conf_source)
        return f"{folder.name}/{path.relative_to(folder)}"


def project_of(conf: Path) -> Path:
    """Folder of the project: that of the configuration unless ``--conf-source`` names another one."""
    beside = conf.resolve().parent
    return beside if (beside / "pyproject.toml").is_file() else find_kedro_project(Path.cwd()) or beside


def check_environment(folder: Path, env: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse an environment without a folder; without ``conf/local`` the base stands alone.

    Raises:
        ConfigError: naming the environments that there are.
    """
    if env and not (folder / env).is_dir():
        known = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        msg = f"--env={env}: {folder.name}/{env} does not exist; there are: {known}"
        raise ConfigError(msg)
    usual = options.get("default_run_env")
    return {"default_run_env": options.get("base_env")} if usual and not (folder / usual).is_dir() else {}


def clash(known: Mapping[str, Any], given: Mapping[str, Any], prefix: str = "") -> str | None:
    """Name the dotted key that holds a mapping and is given a list, or the other way round."""
    for name, value in given.items():
        there = known.get(name)
        if isinstance(there, Mapping) and isinstance(value, Mapping):
            deeper = clash(there, value, f"{prefix}{name}.")
            if deeper:
                return deeper
        elif (isinstance(there, Mapping) and isinstance(value, list)) or (
            isinstance(there, list) and isinstance(value, Mapping)
        ):
            return f"{prefix}{name}"
    return None


def fault(path: Path, *, secret: bool) -> str | None:
    """Say what makes a file no mapping of YAML: ``:line: what``, or ``None``.

    Args:
        path: of the file.
        secret: leave out what the file holds.
    """
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return f":{line}: is not UTF-8; save it as UTF-8"
    except OSError as error:
        return f": cannot be read, {error.strerror}"
    try:
        held = yaml.safe_load(content) or {}
        if isinstance(held, dict):
            OmegaConf.create(content)  # reads more strictly: a key that stands twice is an error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = "" if secret else f", {error.problem}"
        return f":{line}: is no valid YAML{what}"
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError):
        return ": is no valid YAML"
    if not isinstance(held, dict):
        return f": must hold keys and values (key: value), it holds a {type(held).__name__}"
    return None
