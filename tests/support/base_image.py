"""A stand-in for `python:3.11-slim-bookworm` where no registry of images is reachable.

Debian's minimal system with a CPython in ``/usr/local``, as the official image has it. A registry
is not asked: the tests are of our layers, not of a download.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import Final

from tests.support.debian_programs import need_program

__all__ = ["make_base_image"]

_SUITE: Final = "bookworm"
# What CPython's own modules are linked against.
_LIBRARIES: Final = (
    *("ca-certificates", "libbz2-1.0", "libffi8", "liblzma5", "libncursesw6", "libreadline8"),
    *("libsqlite3-0", "libssl3", "libuuid1", "tzdata", "zlib1g"),
)
_LEFT_OUT: Final = frozenset({"site-packages", "test", "idlelib", "tkinter", "__pycache__"})
_CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"


def make_base_image(folder: Path) -> Path:
    """Return an archive to import as an image, made in `folder`; root alone can make it."""
    root = folder / "root"
    archive = folder / "base.tar"
    include = ",".join(_LIBRARIES)
    # It does not wait for the disk after each file, as debootstrap's dpkg does.
    mmdebstrap = need_program("mmdebstrap", ["mmdebstrap"])
    command = [mmdebstrap, "--variant=minbase", f"--include={include}", _SUITE, str(root)]
    subprocess.run(command, check=True, capture_output=True)
    _copy_python(root / "usr" / "local")
    # The registry of packages may be one that this machine alone vouches for.
    shutil.copy(f"/{_CERTIFICATES}", root / _CERTIFICATES)
    (root / "etc" / "pip.conf").write_text(f"[global]\ncert = /{_CERTIFICATES}\n")
    for name in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
        shutil.rmtree(root / name, ignore_errors=True)
    for command in (["ldconfig"], ["/usr/local/bin/python", "-m", "ensurepip", "--altinstall"]):
        subprocess.run(["chroot", str(root), *command], check=True, capture_output=True)
    (root / "usr" / "local" / "bin" / "pip").symlink_to(
        f"pip{sys.version_info[0]}.{sys.version_info[1]}"
    )
    with tarfile.open(archive, "w") as tar:
        tar.add(root, arcname=".", filter=_keep)
    shutil.rmtree(root)
    return archive


def _copy_python(prefix: Path) -> None:
    version = sysconfig.get_python_version()
    home = Path(sys.base_prefix)
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library,
        prefix / "lib" / f"python{version}",
        symlinks=True,
        ignore=lambda _, names: [
            name for name in names if name in _LEFT_OUT or name.endswith(".a")
        ],
        dirs_exist_ok=True,
    )
    for shared in (home / "lib").glob("libpython*.so*"):
        shutil.copy2(shared, prefix / "lib" / shared.name, follow_symlinks=False)
    executable = prefix / "bin" / f"python{version}"
    shutil.copy2(home / "bin" / f"python{version}", executable)
    for name in ("python", "python3"):
        (prefix / "bin" / name).symlink_to(executable.name)


def _keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    # Nodes and sockets of the machine that made it.
    return None if member.isdev() else member
