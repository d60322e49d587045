import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { serveJsonLines } from '../../platform/json-lines.js';
import { createLogger, parseLogLevel } from '../../platform/logger.js';
import { kernelResends } from '../frontend/fuse/unanswered.js';
import { connectNbd } from '../frontend/nbd/nbd-client.js';
import { nbdKernel } from '../frontend/nbd/nbd-kernel.js';
import { NbdDevices } from '../frontend/nbd-device.js';
import { HolderClient } from '../holder/holder-client.js';
import { createEtcdKvdb } from '../kvdb/etcd-kvdb.js';
import type { EngineConfig } from './api.js';
import { Engine } from './engine.js';

/** `engine main.js --run-dir DIR [--no-holder]`: the configuration is `DIR/engine.json`. */
const program = new Command('px-engine')
  .requiredOption('--run-dir <directory>', 'where engine.json and the sockets lie')
  .option('--no-resend', 'do as on a kernel that does not send FUSE requests again')
  .option('--no-holder', 'nothing holds FUSE files here: NBD only');
program.parse();
const options = program.opts<{ runDir: string; holder: boolean; resend: boolean }>();

const log = createLogger({
  program: 'px-engine',
  level: parseLogLevel(process.env['PX_LOG_LEVEL']),
  format: 'json',
});

const config = JSON.parse(
  readFileSync(join(options.runDir, 'engine.json'), 'utf8'),
) as EngineConfig;
const engine = new Engine({
  config,
  log,
  holder: options.holder ? new HolderClient(options.runDir) : undefined,
  kernelResends: options.resend && kernelResends(),
  ioThreadFile: new URL('./io-thread/main.js', import.meta.url),
  syncWorkerFile: new URL('../store/sync-worker/main.js', import.meta.url),
  tlsRelayFile: new URL('./tls-relay/main.js', import.meta.url),
  nbdDevices: new NbdDevices({
    ...{ runDir: options.runDir, sysDir: '/sys', kernel: nbdKernel, connect: connectNbd },
  }),
  openKvdb: createEtcdKvdb,
  onLost: (error) => {
    log.error('a thread of the engine was lost', { error: error.stack ?? error.message });
    // The line above must leave first.
    // SIGKILL, because an exit would wait for threads that wait for the kernel.
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 50);
  },
});

await engine.start();
// No handler for SIGTERM: the kernel ends the process at once, whatever its threads wait for.
// Nothing has to be said goodbye to, as all that counts is on disk or held by the holder.
await serveJsonLines(join(options.runDir, 'engine.sock'), (method, params) =>
  engine.handle(method, params),
);
