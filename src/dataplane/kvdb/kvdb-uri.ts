import { PxError } from '../../kernel/errors.js';

const shape =
  'expected etcd:http://host:port, etcd:https://host:port, http://host:port or https://host:port';

/**
 * The endpoints that a list of kvdb URIs names, as `http(s)://host:port`. The
 * prefix `etcd:` and comma-joined lists are what the configuration files of
 * this field use.
 */
export function parseKvdbUris(uris: readonly string[]): string[] {
  const endpoints = uris
    .flatMap((uri) => uri.split(','))
    .map((uri) => uri.trim())
    .filter((uri) => uri !== '')
    .map(parseOne);
  if (endpoints.length === 0) throw new PxError('invalid_argument', `no kvdb endpoint: ${shape}`);
  if (new Set(endpoints.map((endpoint) => endpoint.split(':')[0])).size > 1) {
    throw new PxError('invalid_argument', 'kvdb endpoints mix http and https');
  }
  return [...new Set(endpoints)];
}

function parseOne(uri: string): string {
  const withoutStore = uri.replace(/^etcd3?:(?=https?:)/, '').replace(/^etcd3?:\/\//, 'http://');
  let url: URL;
  try {
    url = new URL(withoutStore);
  } catch {
    throw new PxError('invalid_argument', `kvdb "${uri}" is not a URI: ${shape}`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new PxError('invalid_argument', `kvdb "${uri}" has an unknown scheme: ${shape}`);
  }
  if (url.hostname === '' || (url.pathname !== '' && url.pathname !== '/')) {
    throw new PxError('invalid_argument', `kvdb "${uri}" must be a host and a port: ${shape}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new PxError('invalid_argument', `kvdb URIs carry no user: use kvdbUsername`);
  }
  const port = url.port === '' ? '2379' : url.port;
  return `${url.protocol}//${url.hostname}:${port}`;
}
