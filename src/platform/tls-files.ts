import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { PxError } from '../kernel/errors.js';

/** The files of one node: its certificate chain, that one's key, and the cluster's authority. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** What the files hold, as Node's TLS takes it. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer;
}

const fields = ['certFile', 'keyFile', 'caFile'] as const;

/** Reads and checks the files; an error names the field of the configuration that is wrong. */
export function readTlsFiles(files: TlsFiles): TlsMaterial {
  const [cert, key, ca] = fields.map((field) => readField(files, field));
  for (const [field, pem] of [
    ['certFile', cert],
    ['caFile', ca],
  ] as const) {
    parse(files, field, () => new X509Certificate(pem));
  }
  parse(files, 'keyFile', () => createSecureContext({ key }));
  // OpenSSL says here that the key belongs to another certificate.
  parse(files, 'keyFile', () => createSecureContext({ cert, key, ca }));
  return { cert, key, ca };
}

/** The material of the files as they are now: they are read again when one was replaced. */
export class TlsFileWatch {
  private signature = '';
  private material: TlsMaterial | undefined;

  constructor(
    private readonly files: TlsFiles,
    /** The files were replaced by something that cannot be used; the last good ones stay. */
    private readonly onBad: (error: PxError) => void,
  ) {}

  /** Called before each new connection, which is rare; so there is nothing to watch or poll. */
  current(): TlsMaterial {
    const signature = this.sign();
    if (this.material !== undefined && signature === this.signature) return this.material;
    try {
      this.material = readTlsFiles(this.files);
      this.signature = signature;
    } catch (error) {
      if (this.material === undefined) throw error;
      this.onBad(error as PxError);
    }
    return this.material;
  }

  /** Follows symbolic links, as Kubernetes replaces mounted secrets by moving one. */
  private sign(): string {
    return fields
      .map((field) => {
        const stat = statSync(this.files[field], { throwIfNoEntry: false, bigint: true });
        return stat === undefined ? '' : `${stat.dev}:${stat.ino}:${stat.mtimeNs}:${stat.size}`;
      })
      .join(' ');
  }
}

function readField(files: TlsFiles, field: (typeof fields)[number]): Buffer {
  try {
    return readFileSync(files[field]);
  } catch (error) {
    throw bad(files, field, 'cannot be read', error);
  }
}

function parse(files: TlsFiles, field: (typeof fields)[number], check: () => unknown): void {
  try {
    check();
  } catch (error) {
    throw bad(files, field, 'cannot be used', error);
  }
}

function bad(
  files: TlsFiles,
  field: (typeof fields)[number],
  what: string,
  cause: unknown,
): PxError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  const text = `tls.${field}: ${files[field]} ${what}: ${reason}`;
  return new PxError('invalid_argument', text, { field: `tls.${field}` }, cause);
}
