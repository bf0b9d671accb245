import re
from pathlib import Path

from keyturn import mls

README = Path(mls.__file__).with_name("README.md").read_text()


def test_the_example_runs_and_is_short() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - the README's own example
    assert len([line for line in example.splitlines() if line]) <= 20


def test_the_page_of_names_is_what_the_package_gives() -> None:
    assert sorted(mls.__all__) == mls.__all__
    assert all(hasattr(mls, name) for name in mls.__all__)
