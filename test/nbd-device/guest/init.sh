#!/bin/sh
# The first process of a user-mode Linux whose root is the host's file system.
# The kernel hands PX_* of its command line on as environment.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
# What the guest writes stays in its own memory, but for PX_OUT.
mount -t tmpfs tmp /run
ip link set lo up
insmod "$PX_MODULE" nbds_max=4
"$PX_NODE" "$PX_MAIN" "$PX_ROOT" "$PX_OUT/facts.json" >"$PX_OUT/guest.log" 2>&1
dmesg >"$PX_OUT/dmesg.log"
echo o >/proc/sysrq-trigger
# The kernel stops the machine from elsewhere; an init that ends would be a panic.
sleep 60
