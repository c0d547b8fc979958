module.exports = (api) => {
  api.cache(true);
  // The runtime names its worker by import.meta.url, which Hermes cannot parse. It is used on pages only.
  return { presets: [["babel-preset-expo", { unstable_transformImportMeta: true }]] };
};
