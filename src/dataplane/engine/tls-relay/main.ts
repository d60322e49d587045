import { createLogger, parseLogLevel } from '../../../platform/logger.js';
import type { TlsRelaySettings } from './settings.js';
import { TlsRelay } from './tls-relay.js';

/** Started by the engine, which sends the settings; see `RelayProcess`. */
process.title = 'px-tls-relay';
const log = createLogger({
  program: 'px-tls-relay',
  level: parseLogLevel(process.env['PX_LOG_LEVEL']),
  format: 'json',
});

// The engine is gone, however it ended: its successor starts a relay of its own.
process.on('disconnect', () => process.exit(0));
process.once('message', (settings: TlsRelaySettings) => {
  void new TlsRelay(settings, log).start().then(() => {
    const { host, port } = settings.dataAddress;
    process.send?.('ready');
    log.info('the TLS relay serves', { address: `${host}:${port}` });
  });
});
