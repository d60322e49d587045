process.stderr.write(
  'px-operator: the operator is not there yet; start px-node and px-csi as README.md says\n',
);
process.exitCode = 1;
