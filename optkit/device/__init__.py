"""What also runs on a device, where there is no optkit: the standard library, numpy, and a small runtime.

optkit itself times, judges and feeds with these very modules; ``optkit.device.assembled`` joins them to the single
files of a bundle. So what a device reports was measured by the same rules, not by a copy of them that may have drifted.
A module here imports nothing of optkit but other modules of this package and ``InputError``; a test sees to it.
"""
