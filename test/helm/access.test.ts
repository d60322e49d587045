import {
  csiControllerClusterRules,
  csiControllerNamespaceRules,
  snapshotControllerClusterRules,
  snapshotControllerNamespaceRules,
} from '../../src/operator/storage-cluster/components/access-rules.js';
import { ownedKinds } from '../../src/operator/storage-cluster/owned-kinds.js';
import { describeWithHelm, objectOf, type Rendered, type Rule } from './chart.js';

/** Each single right as "group/resource:verb"; rights on named objects are others. */
function rights(rules: readonly Rule[]): Set<string> {
  return new Set(
    rules
      .filter(({ resourceNames }) => resourceNames === undefined)
      .flatMap(({ apiGroups, resources, verbs }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) => verbs.map((verb) => `${group}/${resource}:${verb}`)),
        ),
      ),
  );
}

describeWithHelm('the rights that the chart gives', (helm) => {
  let objects: Rendered[];
  beforeAll(async () => {
    objects = await helm.objects();
  });

  const rulesOf = (kind: string, name: string, namespace = 'portworx'): readonly Rule[] =>
    objectOf(
      objects.filter((one) => kind === 'ClusterRole' || one.metadata.namespace === namespace),
      kind,
      name,
    ).rules ?? [];

  it('let the operator give the sidecars theirs, as nobody can give what they lack', () => {
    const cluster = rights(rulesOf('ClusterRole', 'px-operator'));
    const inNamespace = rights(rulesOf('Role', 'px-operator'));
    const needed = (rules: readonly Rule[]): string[] => [...rights(rules)];
    const clusterWide = [...csiControllerClusterRules, ...snapshotControllerClusterRules];
    expect(needed(clusterWide).filter((right) => !cluster.has(right))).toEqual([]);
    const namespaced = [...csiControllerNamespaceRules, ...snapshotControllerNamespaceRules];
    expect(
      needed(namespaced).filter((right) => !cluster.has(right) && !inNamespace.has(right)),
    ).toEqual([]);
  });

  it('let it make, watch and remove every kind that it owns', () => {
    const cluster = rights(rulesOf('ClusterRole', 'px-operator'));
    const inNamespace = rights(rulesOf('Role', 'px-operator'));
    const named = rulesOf('ClusterRole', 'px-operator').filter((rule) => rule.resourceNames);
    const missing = ownedKinds.flatMap(({ apiVersion, plural, namespaced }) => {
      const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : '';
      return ['get', 'list', 'watch', 'create', 'patch', 'delete']
        .filter((verb) => {
          const right = `${group}/${plural}:${verb}`;
          const byName = named.some(
            (rule) => rule.resources.includes(plural) && rule.verbs.includes(verb),
          );
          return !(cluster.has(right) || byName || (namespaced && inNamespace.has(right)));
        })
        .map((verb) => `${verb} ${plural}`);
    });
    expect(missing).toEqual([]);
  });

  it('have no wildcard, no escalation and no secret outside of its namespace', () => {
    const all = objects.flatMap((object) => object.rules ?? []);
    const words = all.flatMap(({ apiGroups, resources, verbs }) => [
      ...apiGroups,
      ...resources,
      ...verbs,
    ]);
    for (const word of ['*', 'bind', 'escalate', 'impersonate']) expect(words).not.toContain(word);
    const clusterWide = objects.filter(({ kind }) => kind === 'ClusterRole');
    expect(
      clusterWide.flatMap(({ rules }) => rules ?? []).flatMap(({ resources }) => resources),
    ).not.toContain('secrets');
  });

  it('are those of pods that are no root and can write nowhere', () => {
    const pods = objects.flatMap(({ kind, spec }) =>
      kind === 'Pod' ? [spec] : ['Deployment', 'Job'].includes(kind) ? [podOf(spec)] : [],
    );
    expect(pods).toHaveLength(4);
    for (const pod of pods) {
      expect(pod).toMatchObject({
        securityContext: { runAsNonRoot: true, runAsUser: 65532 },
        containers: [
          {
            securityContext: {
              readOnlyRootFilesystem: true,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
            },
          },
        ],
      });
    }
  });
});

function podOf(spec: Rendered['spec']): Rendered['spec'] {
  return (spec?.['template'] as { spec: Record<string, unknown> } | undefined)?.spec;
}
