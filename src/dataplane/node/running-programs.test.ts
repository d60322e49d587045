import { engineScript, holderScript, scriptOf } from './running-programs.js';

const engine = ['/r/lib/px-ld.so', '/r/bin/node', `/r/app/${engineScript}`, '--run-dir', '/run/px'];
const holder = [
  'node',
  `/px/${holderScript}`,
  '--leave-cgroups',
  'x',
  '--run-dir',
  '/run/px',
  '--',
];

test.each([
  ['an engine', engine, engineScript],
  ['a holder, whose arguments are also an engine’s', [...holder, ...engine], holderScript],
  ['that of another directory', [...engine.slice(0, -1), '/run/px2'], undefined],
  ['somebody who reads its code', ['less', `/px/${engineScript}`], undefined],
  ['another main.js', ['node', '/x/engine/main.js', '--run-dir', '/run/px'], undefined],
  ['a process that is gone', [''], undefined],
])('%s', (_, command, expected) => {
  expect(scriptOf(command, '/run/px')).toBe(expected);
});
