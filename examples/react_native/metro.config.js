const { getDefaultConfig } = require("expo/metro-config");
const { join } = require("node:path");

const config = getDefaultConfig(__dirname);
config.resolver.assetExts.push("bin"); // the files of the bundle, as `npm run pack` names them
config.watchFolders = [join(__dirname, "../../web")]; // onetrunk-web is a link to there
config.resolver.blockList = /\/web\/node_modules\//;
module.exports = config;
