import { existsSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import type { ClaimMetadata, Claims } from './claim-parameters.js';

/** Where Kubernetes puts a pod's own credentials. */
const accountDir = '/var/run/secrets/kubernetes.io/serviceaccount';
const timeoutMs = 5_000;
const maxAnswerBytes = 4 * 1024 * 1024;

/**
 * Reads claims from the API server that a pod finds by its environment.
 * Undefined outside of a pod. One GET a new volume: no client library is
 * worth its memory here.
 */
export function inClusterClaims(
  env: Readonly<Record<string, string | undefined>>,
): Claims | undefined {
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT_HTTPS ?? env.KUBERNETES_SERVICE_PORT;
  const caFile = join(accountDir, 'ca.crt');
  if (host === undefined || port === undefined || !existsSync(caFile)) return undefined;
  const agent = new Agent({ ca: readFileSync(caFile), keepAlive: true, maxSockets: 8 });
  return {
    read: async (namespace, name) => {
      const path =
        `/api/v1/namespaces/${encodeURIComponent(namespace)}` +
        `/persistentvolumeclaims/${encodeURIComponent(name)}`;
      const { status, body } = await get(agent, host, port, path);
      if (status === 404) return undefined;
      if (status !== 200) {
        throw new PxError(
          'unavailable',
          `the API server answers ${status} to a read of claim ${namespace}/${name}`,
        );
      }
      return metadataOf(body);
    },
  };
}

function metadataOf(body: string): ClaimMetadata {
  const { metadata } = JSON.parse(body) as { metadata?: Partial<ClaimMetadata> };
  return { labels: metadata?.labels ?? {}, annotations: metadata?.annotations ?? {} };
}

function get(
  agent: Agent,
  host: string,
  port: string,
  path: string,
): Promise<{ status: number; body: string }> {
  // Read each time: the kubelet renews the token in its file.
  const token = readFileSync(join(accountDir, 'token'), 'utf8').trim();
  const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(new PxError('unavailable', `the API server: ${error.message}`, {}, error));
    };
    const call = request({ host, port, path, agent, headers, timeout: timeoutMs }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > maxAnswerBytes) response.destroy(new Error('its answer is too long'));
      });
      response.on('error', fail);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on('timeout', () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    call.on('error', fail);
    call.end();
  });
}
