/** @type {import('next').NextConfig} */
export default {
  poweredByHeader: false,
  reactStrictMode: true,
  // `npm test` runs lint and types over the whole checkout, the same rules for page and server.
  typescript: { ignoreBuildErrors: true },
};
