/** `npm run lessons -- dev` sets both: the address of the API, and the address that notifies pages of saved lessons. */
const { LAB_DEV_API: api, LAB_DEV_CHANGES: changes } = process.env;

/** @type {import('next').NextConfig} */
export default {
  poweredByHeader: false,
  reactStrictMode: true,
  // `npm test` lints and type-checks the whole checkout, with the same rules for page and server.
  typescript: { ignoreBuildErrors: true },
  ...(api !== undefined && changes !== undefined
    ? {
        rewrites: async () => [
          { source: '/api/:path*', destination: `${api}/api/:path*` },
          { source: '/changes', destination: changes },
        ],
        // The badge would cover part of the lesson.
        devIndicators: false,
      }
    : {}),
};
