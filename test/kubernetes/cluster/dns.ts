import path from 'node:path';
import type { ClusterLayout } from './layout.js';

/**
 * CoreDNS runs beside the control plane and not in a pod: the names of services
 * then don't depend on which node a test has just killed.
 */
export const dnsUser = 'dns.px.test';

export const corefilePath = (cluster: ClusterLayout): string => path.join(cluster.dir, 'Corefile');

/** Names outside of the cluster don't exist: without an answer, clients would ask for seconds. */
export function corefile(cluster: ClusterLayout): string {
  return `cluster.local:53 in-addr.arpa:53 {
  bind ${cluster.hubAddress}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig ${path.join(cluster.pkiDir, 'dns.kubeconfig')}
    ttl 5
  }
}
.:53 {
  bind ${cluster.hubAddress}
  template ANY ANY {
    rcode NXDOMAIN
  }
}
`;
}

const metadata = { name: 'kube-dns', namespace: 'kube-system' };

/** What lets CoreDNS read the services, and pods reach it where the kubelet tells them to. */
export function dnsObjects(cluster: ClusterLayout): object[] {
  const ports = (['UDP', 'TCP'] as const).map((protocol) => ({
    name: protocol.toLowerCase(),
    port: 53,
    protocol,
  }));
  return [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: dnsUser },
      rules: [
        {
          apiGroups: [''],
          resources: ['services', 'pods', 'namespaces'],
          verbs: ['list', 'watch'],
        },
        {
          apiGroups: ['discovery.k8s.io'],
          resources: ['endpointslices'],
          verbs: ['list', 'watch'],
        },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: dnsUser },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: dnsUser },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: dnsUser }],
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { clusterIP: cluster.dnsAddress, ports },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': metadata.name } },
      addressType: 'IPv4',
      ports,
      endpoints: [{ addresses: [cluster.hubAddress], conditions: { ready: true } }],
    },
  ];
}
