import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { waitFor } from '../../../tools/lib/wait.js';
import type { KubernetesCluster } from '../cluster/cluster.js';
import { DatabaseUnderLoad } from '../px/database.js';
import { ensurePx, pxImages } from '../px/install-px.js';
import { check } from '../runner/check.js';
import type { CaseHelpers, KubernetesCase } from '../runner/types.js';

const client = 'registry-client';
const content = 'kept by px';
const deployment = 'deployment/registry';
const patienceMs = 180_000;

/** HTTP by hand: the image has bash, and none of the usual clients. */
const askRegistry = `
ask() {
  exec 3<>/dev/tcp/registry/5000
  printf '%s %s HTTP/1.1\\r\\nHost: registry:5000\\r\\nConnection: close\\r\\nContent-Length: %s\\r\\n\\r\\n%s' \\
    "$1" "$2" "\${#3}" "$3" >&3
  cat <&3
  exec 3>&-
}
digest="sha256:$(printf %s '${content}' | sha256sum | cut -d ' ' -f 1)"
`;

/** As docker push does: begin an upload, then give the content with its digest. */
const putBlob = `${askRegistry}
location="$(ask POST /v2/shop/blobs/uploads/ '' | tr -d '\\r' | sed -n 's/^[Ll]ocation: //p')"
ask PUT "/v2/\${location#*/v2/}&digest=$digest" '${content}' | sed -n 1p
`;

const getBlob = `${askRegistry}
ask GET "/v2/shop/blobs/$digest" ''
`;

/** What a user is told to apply works as it stands. */
export const examples: KubernetesCase = {
  name: 'examples',
  timeoutMs: 12 * 60_000,
  images: [...pxImages, 'postgres', 'registry'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    await helpers.step('the API server takes every example', () => validateAll(cluster, helpers));
    await helpers.step('PostgreSQL keeps a row', () => runDatabase(cluster, helpers));
    await helpers.step('the registry keeps an image', () => runRegistry(cluster, helpers));
  },
};

/** With its defaults, its rules and its admission; nothing is stored. */
async function validateAll(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<void> {
  const directory = path.join(helpers.rootDir, 'deploy/examples');
  const files = (await readdir(directory)).filter((name) => name.endsWith('.yaml'));
  check(files.length >= 5, `only ${files.join(', ')} were found`);
  for (const file of files) {
    const input = await readFile(path.join(directory, file), 'utf8');
    // An object that names its namespace can't be put into another one.
    const where = /^ {2}namespace: /m.test(input) ? [] : ['-n', helpers.namespace];
    await cluster.kubectl(['apply', '--dry-run=server', ...where, '-f', '-'], { input });
  }
}

async function runDatabase(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<void> {
  const database = new DatabaseUnderLoad(cluster, helpers.namespace);
  await database.deploy(helpers.rootDir);
  const sql = 'create table kept (word text); insert into kept values (1); select word from kept';
  const command = ['psql', '-U', 'postgres', '-qAtc', sql];
  const inPod = ['exec', '-n', helpers.namespace, 'postgresql-0', '--', ...command];
  const answer = await cluster.kubectl(inPod);
  check(answer.trim() === '1', `PostgreSQL answers ${answer}`);
  await database.stop();
}

async function runRegistry(cluster: KubernetesCluster, helpers: CaseHelpers): Promise<void> {
  const { namespace } = helpers;
  const file = path.join(helpers.rootDir, 'deploy/examples/registry.yaml');
  const where = ['-n', namespace];
  await cluster.applyYaml(await readFile(file, 'utf8'), where);
  await cluster.apply(clientPod(namespace));
  await cluster.waitFor(deployment, 'condition=Available', patienceMs, namespace);
  await cluster.waitFor(`pod/${client}`, 'condition=Ready', patienceMs, namespace);
  // The Service may learn of its pod a moment after the Deployment does.
  await waitFor('upload', patienceMs, async () => {
    const put = await inClient(cluster, namespace, putBlob).catch(() => '');
    return put.startsWith('HTTP/1.1 201') ? true : undefined;
  });
  // Another pod has it as well: it lies on the volume.
  const bound = { timeoutMs: patienceMs };
  await cluster.kubectl(['delete', 'pod', ...where, '-l', 'app=registry'], bound);
  await waitFor('image in the next pod', patienceMs, async () => {
    const got = await inClient(cluster, namespace, getBlob).catch(() => '');
    return got.startsWith('HTTP/1.1 200') && got.endsWith(content) ? true : undefined;
  });
  await cluster.kubectl(['delete', ...where, 'deployment,service', 'registry'], bound);
  await cluster.kubectl(['delete', 'pod', ...where, client], bound);
  await cluster.kubectl(['delete', 'pvc', ...where, 'registry'], bound);
}

function inClient(cluster: KubernetesCluster, namespace: string, script: string): Promise<string> {
  return cluster.kubectl(['exec', '-n', namespace, client, '--', 'bash', '-c', script]);
}

function clientPod(namespace: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: client, namespace },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'client',
          image: 'docker.io/library/postgres:15-bookworm',
          imagePullPolicy: 'IfNotPresent',
          command: ['bash', '-c', 'trap "exit 0" TERM; while :; do sleep 1000 & wait $!; done'],
        },
      ],
    },
  };
}
