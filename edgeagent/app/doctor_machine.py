"""Is this machine ready: device files, disk, clock, device id. Pure: facts in, checks out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from edgeagent.app.doctor_facts import ClockFacts, DeviceFile, DiskFacts, MachineFacts, User
from edgeagent.app.doctor_report import Check, ok, problem, warning
from edgeagent.board.identity import Identity

Make = Callable[[str, str, str], Check]

GIB = 1024**3
DISK_LOW, DISK_FULL = 2 * GIB, GIB // 4
FIRST_YEAR = 2024
STOCK_IDS = frozenset(
    (
        "ubuntu",
        "jetson",
        "localhost",
        "nvidia",
        "tegra-ubuntu",
        "linux",
        "raspberrypi",
        "debian",
        "desktop",
        "edgeagent",
    )
)


def check_machine(identity: Identity, facts: MachineFacts, device_id: str | None) -> Iterator[Check]:
    """`device_id` is the one in force; None where there is none."""
    yield ok("user", f"{facts.user.name}, in the groups {', '.join(sorted(facts.user.groups))}")
    yield from _devices(identity, facts.devices, facts.user)
    yield _disk(facts.disk)
    yield _clock(facts.clock)
    yield _device_id(identity, device_id, facts.hostname)


def _devices(identity: Identity, devices: tuple[DeviceFile, ...] | None, user: User) -> Iterator[Check]:
    if devices is None:
        yield ok("devices", "not looked at: this root has no /dev")
        return
    closed = [device for device in devices if not device.openable]
    yield _gpu(identity, [device for device in devices if not _is_camera(device)], closed, user)
    yield _cameras([device for device in devices if _is_camera(device)], closed, user)


def _is_camera(device: DeviceFile) -> bool:
    return device.path.startswith("/dev/video")


def _gpu(identity: Identity, found: list[DeviceFile], closed: list[DeviceFile], user: User) -> Check:
    closed = [device for device in closed if device in found]
    if closed:
        return _closed("gpu files", closed, user, problem if identity.kind != "not-a-jetson" else warning)
    if found:
        return ok("gpu files", f"{len(found)} in /dev, {user.name} may open them")
    if identity.kind == "not-a-jetson":
        return ok("gpu files", "none in /dev")
    if identity.container:
        mend = "start the container with --runtime nvidia (and --privileged or the devices)"
        return problem("gpu files", f"none in /dev of this {identity.container} container", mend)
    return problem(
        "gpu files", "none in /dev: NVIDIA's drivers are not loaded", "sudo dmesg | grep -i nv; reinstall L4T"
    )


def _cameras(found: list[DeviceFile], closed: list[DeviceFile], user: User) -> Check:
    closed = [device for device in closed if device in found]
    if closed:
        return _closed("cameras", closed, user, warning)
    if found:
        return ok("cameras", f"{', '.join(device.path for device in found[:4])}{' ...' if len(found) > 4 else ''}")
    return ok("cameras", "no /dev/video*: network cameras and files only")


def _closed(name: str, closed: list[DeviceFile], user: User, make: Make) -> Check:
    groups = sorted({device.group for device in closed if device.mode & 0o060 == 0o060 and device.group != "root"})
    shown = ", ".join(f"{device.path} ({device.mode:03o}, group {device.group})" for device in closed[:3])
    more = f" and {len(closed) - 3} more" if len(closed) > 3 else ""
    mend = (
        f"sudo usermod -aG {','.join(groups)} {user.name}, then log in again (or restart the service)"
        if groups
        else "root alone may open them, as after a bad boot: sudo udevadm trigger, else reboot"
    )
    return make(name, f"{user.name} may not open {shown}{more}", mend)


def _disk(disk: DiskFacts | None) -> Check:
    if disk is None:
        return warning("disk", "the state directory's file system cannot be asked", "look at device.state_dir")
    where = disk.directory if disk.exists else f"{disk.directory} (not made yet)"
    text = f"{disk.free_bytes / GIB:.1f} of {disk.total_bytes / GIB:.1f} GiB free for {where}"
    mend = "remove old engines and logs, or set device.state_dir to a larger disk"
    if disk.read_only:
        return problem("disk", f"{where} is on a read-only file system", "a worn disk remounts itself so: sudo dmesg")
    if disk.free_bytes < DISK_FULL:
        return problem("disk", text, mend, free_bytes=disk.free_bytes)
    if disk.free_bytes < DISK_LOW:
        return warning("disk", f"{text}: an engine build may need more", mend, free_bytes=disk.free_bytes)
    if disk.exists and not disk.writable:
        return warning("disk", f"{where} is closed to this user", "run this as the user of the service, or as root")
    return ok("disk", text, free_bytes=disk.free_bytes)


def _clock(clock: ClockFacts) -> Check:
    mend = "timedatectl set-ntp true, or name a time server in /etc/systemd/timesyncd.conf"
    if clock.of_host:
        mend = "mend it on the host: a container has the host's clock"
    if clock.year < FIRST_YEAR:
        return problem("clock", f"it is {clock.year} here: TLS refuses every certificate", mend, year=clock.year)
    if clock.synchronised or clock.by_timesyncd:
        return ok("clock", "synchronised")
    if clock.synchronised is None:
        return ok("clock", f"the kernel does not say whether it is synchronised; it is {clock.year}")
    return warning("clock", "not synchronised: times in messages may be wrong", mend)


def _device_id(identity: Identity, device_id: str | None, hostname: str) -> Check:
    rename = "start the container with --hostname" if identity.container else "sudo hostnamectl set-hostname"
    mend = f'set id = "..." under [device] in the config, or {rename} NAME'
    if not device_id:
        gives = f"the host name {hostname!r} gives none" if hostname else "there is no host name to take it from"
        return problem("device id", f"none, and {gives}", mend)
    if device_id in STOCK_IDS:
        return warning("device id", f"{device_id}: a name that many devices have; two with it collide on MQTT", mend)
    if identity.container and re.fullmatch(r"[0-9a-f]{12}", device_id):
        return warning("device id", f"{device_id}: a container's random name, another one after each update", mend)
    return ok("device id", device_id)
