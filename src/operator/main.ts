#!/usr/bin/env node
process.stderr.write(
  'px-operator: the operator is not part of this release; start px-node and px-csi as README.md says\n',
);
// EX_UNAVAILABLE of sysexits.h: nothing that a restart could mend.
process.exitCode = 69;
