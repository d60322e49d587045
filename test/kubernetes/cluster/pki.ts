import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../../tools/lib/run.js';
import { dnsUser } from './dns.js';
import type { ClusterLayout, NodeLayout } from './layout.js';

/** A certificate that an authority of ours signs. */
interface Request {
  readonly name: string;
  readonly commonName: string;
  readonly organization?: string;
  readonly alternativeNames?: readonly string[];
  /** Of the same directory; `ca` unless it is said. */
  readonly authority?: string;
}

const ecKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
const days = '365';

const openssl = (args: readonly string[]): Promise<string> =>
  run('openssl', args, { timeoutMs: 30_000 });

export async function makeAuthority(dir: string, name: string): Promise<void> {
  await openssl([
    ...['req', '-x509', ...ecKey, '-days', days, '-subj', `/CN=${name}`],
    ...['-keyout', path.join(dir, `${name}.key`), '-out', path.join(dir, `${name}.crt`)],
    ...['-addext', 'keyUsage=critical,digitalSignature,keyEncipherment,keyCertSign'],
  ]);
}

export async function sign(dir: string, request: Request): Promise<void> {
  const authority = path.join(dir, request.authority ?? 'ca');
  const organization = request.organization === undefined ? '' : `/O=${request.organization}`;
  const names = request.alternativeNames ?? [];
  await openssl([
    ...['req', '-x509', ...ecKey, '-days', days],
    ...['-CA', `${authority}.crt`, '-CAkey', `${authority}.key`],
    ...['-subj', `${organization}/CN=${request.commonName}`],
    ...['-keyout', path.join(dir, `${request.name}.key`)],
    ...['-out', path.join(dir, `${request.name}.crt`)],
    ...['-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-addext', 'keyUsage=critical,digitalSignature,keyEncipherment'],
    ...['-addext', 'extendedKeyUsage=serverAuth,clientAuth'],
    ...(names.length === 0 ? [] : ['-addext', `subjectAltName=${names.join(',')}`]),
  ]);
}

function requests(cluster: ClusterLayout, nodes: readonly NodeLayout[]): Request[] {
  const service = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  const names = [...service, 'kubernetes.default.svc.cluster.local', 'localhost'];
  const addresses = [cluster.hubAddress, cluster.serviceAddress, '127.0.0.1'];
  return [
    {
      name: 'apiserver',
      commonName: 'kube-apiserver',
      alternativeNames: [...names.map((n) => `DNS:${n}`), ...addresses.map((a) => `IP:${a}`)],
    },
    { name: 'apiserver-kubelet', commonName: 'kube-apiserver', organization: 'system:masters' },
    { name: 'front-proxy', commonName: 'front-proxy', authority: 'front-proxy-ca' },
    { name: 'admin', commonName: 'admin', organization: 'system:masters' },
    { name: 'controller-manager', commonName: 'system:kube-controller-manager' },
    { name: 'scheduler', commonName: 'system:kube-scheduler' },
    { name: 'kube-proxy', commonName: 'system:kube-proxy' },
    { name: 'dns', commonName: dnsUser },
    ...nodes.map(nodeRequest),
  ];
}

function nodeRequest(node: NodeLayout): Request {
  return {
    name: node.name,
    commonName: `system:node:${node.name}`,
    organization: 'system:nodes',
    alternativeNames: [`DNS:${node.name}`, `IP:${node.address}`],
  };
}

/** Of a node that joins a cluster which has its authority already. */
export async function addToPki(cluster: ClusterLayout, node: NodeLayout): Promise<void> {
  await sign(cluster.pkiDir, nodeRequest(node));
}

/** A client's configuration, with everything in one file. */
export async function kubeconfig(cluster: ClusterLayout, name: string): Promise<string> {
  const read = (file: string): Promise<string> =>
    readFile(path.join(cluster.pkiDir, file)).then((bytes) => bytes.toString('base64'));
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'px',
    clusters: [
      {
        name: 'px',
        cluster: {
          server: cluster.apiServerUrl,
          'certificate-authority-data': await read('ca.crt'),
        },
      },
    ],
    users: [
      {
        name,
        user: {
          'client-certificate-data': await read(`${name}.crt`),
          'client-key-data': await read(`${name}.key`),
        },
      },
    ],
    contexts: [{ name: 'px', context: { cluster: 'px', user: name } }],
  });
}

export async function makePki(cluster: ClusterLayout, nodes: readonly NodeLayout[]): Promise<void> {
  const dir = cluster.pkiDir;
  if (existsSync(path.join(dir, 'done'))) return;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await makeAuthority(dir, 'ca');
  await makeAuthority(dir, 'front-proxy-ca');
  const key = path.join(dir, 'service-account.key');
  await openssl(['genrsa', '-out', key, '2048']);
  await openssl(['rsa', '-in', key, '-pubout', '-out', path.join(dir, 'service-account.pub')]);
  for (const request of requests(cluster, nodes)) await sign(dir, request);
  await writeFile(cluster.kubeconfig, await kubeconfig(cluster, 'admin'), { mode: 0o600 });
  for (const name of ['controller-manager', 'scheduler', 'dns']) {
    const file = path.join(dir, `${name}.kubeconfig`);
    await writeFile(file, await kubeconfig(cluster, name), { mode: 0o600 });
  }
  await writeFile(path.join(dir, 'done'), '');
}
