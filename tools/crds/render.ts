import { stringify } from 'yaml';
import { definitions } from '../../src/crds/definitions.js';
import { customResourceDefinition } from '../../src/crds/manifest.js';
import { referenceDocument } from '../../src/crds/reference.js';

/** Every file that is made from the custom resources' source, by its path in the repository. */
export function generatedFiles(): Readonly<Record<string, string>> {
  const manifests = definitions.flatMap((definition) => {
    const text = `# Made by "npm run crds" from src/crds.\n${stringify(
      customResourceDefinition(definition),
      { lineWidth: 0, aliasDuplicateObjects: false },
    )}`;
    // A packaged chart has no files but its own.
    return ['deploy/crds', 'deploy/helm/crds'].map((dir) => [
      `${dir}/${definition.resource.plural}.yaml`,
      text,
    ]);
  });
  return {
    ...(Object.fromEntries(manifests) as Record<string, string>),
    'docs/reference/custom-resources.md': referenceDocument(definitions),
  };
}
