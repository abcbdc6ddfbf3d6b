/** Set by `npm run lessons -- dev`: where the API is, and where a page hears of lessons that were saved. */
const { LAB_DEV_API: api, LAB_DEV_CHANGES: changes } = process.env;

/** @type {import('next').NextConfig} */
export default {
  poweredByHeader: false,
  reactStrictMode: true,
  // `npm test` runs lint and types over the whole checkout, the same rules for page and server.
  typescript: { ignoreBuildErrors: true },
  ...(api !== undefined && changes !== undefined
    ? {
        rewrites: async () => [
          { source: '/api/:path*', destination: `${api}/api/:path*` },
          { source: '/changes', destination: changes },
        ],
        // The badge would cover the lesson that is being written.
        devIndicators: false,
      }
    : {}),
};
