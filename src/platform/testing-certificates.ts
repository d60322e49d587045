import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsFiles } from './tls-files.js';

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const;

/** A certificate authority for tests, made by openssl as docs/how-to/tls.md says. */
export class TestAuthority {
  readonly caFile: string;
  private readonly caKey: string;

  constructor(private readonly directory: string) {
    mkdirSync(directory, { recursive: true });
    this.caFile = join(directory, 'ca.crt');
    this.caKey = join(directory, 'ca.key');
    const output = ['-keyout', this.caKey, '-out', this.caFile];
    openssl('req', '-x509', ...newKey, ...output, '-days', '2', '-subj', '/CN=px test authority');
  }

  issue(name: string): TlsFiles {
    const at = (suffix: string): string => join(this.directory, `${name}.${suffix}`);
    const output = ['-keyout', at('key'), '-out', at('csr')];
    openssl('req', ...newKey, ...output, '-subj', `/CN=${name}`);
    const signing = ['-CA', this.caFile, '-CAkey', this.caKey, '-CAcreateserial', '-days', '2'];
    openssl('x509', '-req', '-in', at('csr'), ...signing, '-out', at('crt'));
    return { certFile: at('crt'), keyFile: at('key'), caFile: this.caFile };
  }
}

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe', timeout: 20_000 });
}
