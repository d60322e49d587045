import winston from 'winston';
import { redact } from './redact.js';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/** What every module is given to speak to the log; winston stays behind it. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  readonly program: string;
  readonly level: LogLevel;
  /** `json`: one object a line, for collectors. `human`: for a terminal. */
  readonly format: 'json' | 'human';
  /** Where lines go; the standard error stream when absent, as stdout is for results. */
  readonly stream?: NodeJS.WritableStream;
}

export function createLogger(options: LoggerOptions): Logger {
  const sink =
    options.stream === undefined
      ? new winston.transports.Console({ stderrLevels: ['debug', 'info', 'warn', 'error'] })
      : new winston.transports.Stream({ stream: options.stream });
  const backend = winston.createLogger({
    level: options.level,
    levels: { error: 0, warn: 1, info: 2, debug: 3 },
    format: winston.format.printf((info) => {
      const fields = info.fields as LogFields;
      return options.format === 'json'
        ? jsonLine(options.program, info.level, String(info.message), fields)
        : humanLine(options.program, info.level, String(info.message), fields);
    }),
    transports: [sink],
    exitOnError: false,
  });
  return wrap(backend, {});
}

/** Reads a level from the environment or a flag; anything unknown is `info`. */
export function parseLogLevel(text: string | undefined): LogLevel {
  return text === 'debug' || text === 'warn' || text === 'error' ? text : 'info';
}

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};

function wrap(backend: winston.Logger, bound: LogFields): Logger {
  const write = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    backend.log({ level, message, fields: { ...bound, ...fields } });
  };
  return {
    debug: (message, fields) => write('debug', message, fields),
    info: (message, fields) => write('info', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    error: (message, fields) => write('error', message, fields),
    child: (fields) => wrap(backend, { ...bound, ...fields }),
  };
}

function jsonLine(program: string, level: string, message: string, fields: LogFields): string {
  const shown = redact(fields) as Record<string, unknown>;
  return JSON.stringify({ time: new Date().toISOString(), level, program, message, ...shown });
}

function humanLine(program: string, level: string, message: string, fields: LogFields): string {
  const shown = redact(fields) as Record<string, unknown>;
  const tail = Object.entries(shown)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ');
  const time = new Date().toISOString().slice(11, 23);
  return `${time} ${level.padEnd(5)} ${program}: ${message}${tail === '' ? '' : ` ${tail}`}`;
}
