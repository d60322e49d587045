/** Test code is compiled to CommonJS by swc; types are checked by `npm run check`. */
const common = {
  testEnvironment: 'node',
  transform: {
    '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } } }],
  },
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': ['$1', '$1.js'] },
  modulePathIgnorePatterns: ['<rootDir>/dist'],
};

/** @type {import('jest').Config} */
const config = {
  // The suites run with temporary directories of their own.
  cacheDirectory: '<rootDir>/.cache/jest',
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: ['<rootDir>/{src,sim,tools}/**/*.test.ts'],
    },
    {
      ...common,
      displayName: 'system',
      testMatch: ['<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/scale/'],
    },
    {
      // These compare times, and would also slow down what runs beside them.
      ...common,
      displayName: 'scale',
      testMatch: ['<rootDir>/test/scale/*.test.ts'],
    },
  ],
};

export default config;
