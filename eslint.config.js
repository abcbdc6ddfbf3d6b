import next from '@next/eslint-plugin-next';
import prettier from 'eslint-config-prettier';
import reactHooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

/** What TypeScript alone calls private, JavaScript lets anybody read. A constructor has no `#` form. */
const privateModifiers = [
  'PropertyDefinition[accessibility="private"]',
  'MethodDefinition[accessibility="private"][kind!="constructor"]',
  'TSParameterProperty[accessibility="private"]',
];

export default tseslint.config(
  { ignores: ['.next/', 'dist/', 'node_modules/', 'next-env.d.ts'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: ['*.js', 'server/setup/*.mjs'] } },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      'no-restricted-syntax': [
        'error',
        ...privateModifiers.map((selector) => ({ selector, message: 'Name a private member `#name`.' })),
      ],
      'no-restricted-imports': [
        'error',
        { paths: [{ name: 'vitest', importNames: ['it'], message: 'Name a test with `test`.' }] },
      ],
      // Frameworks type callbacks as returning void, but also accept async functions.
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
    },
  },
  { files: ['**/*.{js,mjs}'], ...tseslint.configs.disableTypeChecked },
  { files: ['app/**/*.{ts,tsx}'], plugins: { '@next/next': next }, rules: next.configs.recommended.rules },
  reactHooks.configs.flat['recommended-latest'] ?? reactHooks.configs['recommended-latest'],
  prettier,
);
