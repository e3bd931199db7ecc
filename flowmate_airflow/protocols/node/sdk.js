'use strict';

// Which SDK a component was written for, and so which dialect it speaks.
//
// sailor: elastic.io, messages with `body`, three arguments.
// ferryman: Open Integration Hub, messages with `data`, five arguments.
// ferryman-old: Open Integration Hub before ferryman 1.7, when messages had `body` or `data`.

const fs = require('fs');
const path = require('path');
const { Failure, isObject } = require('./failures');

const FERRYMAN = '@openintegrationhub/ferryman';
const SAILOR = 'elasticio-sailor-nodejs';
const DIALECTS = ['sailor', 'ferryman', 'ferryman-old'];
const ALIASES = {
  D1: 'sailor', D2: 'ferryman-old', D3: 'ferryman', 'ferryman-1': 'ferryman-old', 'ferryman-2': 'ferryman',
};

function readPackage(folder) {
  try {
    const value = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8').replace(/^\uFEFF/, ''));
    return isObject(value) ? value : null;
  } catch (error) {
    return null;
  }
}

function foldersUp(folder) {
  const parent = path.dirname(folder);
  return parent === folder ? [folder] : [folder].concat(foldersUp(parent));
}

function installedVersion(name, folder) {
  for (const place of foldersUp(folder)) {
    const found = readPackage(path.join(place, 'node_modules', name));
    if (found && found.version) {
      return String(found.version);
    }
  }
  return null;
}

// A package may be installed under another name: "ferryman-1-7-0": "npm:@openintegrationhub/ferryman@1.7.0".
function realName(alias, range) {
  const match = /^npm:(@?[^@]+)@/.exec(String(range));
  return match ? match[1] : alias;
}

function candidates(manifest, folder) {
  const dependencies = Object.assign({}, manifest.optionalDependencies, manifest.dependencies);
  const declared = Object.keys(dependencies)
    .map((alias) => ({ alias, range: String(dependencies[alias]), name: realName(alias, dependencies[alias]) }))
    .filter((entry) => entry.name === FERRYMAN || entry.name === SAILOR)
    .map(({ name, alias, range }) => ({ name, alias, version: installedVersion(alias, folder) || range }));
  if (declared.length) {
    return declared;
  }
  return [FERRYMAN, SAILOR]
    .map((name) => ({ name, alias: name, version: installedVersion(name, folder) }))
    .filter((entry) => entry.version !== null);
}

function choose(found, manifest) {
  const start = String((isObject(manifest.scripts) && manifest.scripts.start) || '');
  return found.find((entry) => start.includes(`node_modules/${entry.alias}/`))
    || found.find((entry) => entry.alias === FERRYMAN)
    || found[0]
    || null;
}

function dialectOf(sdk, manifest) {
  if (sdk === null) {
    return isObject(manifest.dependencies) && manifest.dependencies['elasticio-node'] ? 'sailor' : 'ferryman';
  }
  if (sdk.name === SAILOR) {
    return 'sailor';
  }
  const version = /(\d+)(?:\.(\d+|x|\*))?/.exec(sdk.version);
  if (version === null || Number(version[1]) > 1) {
    return 'ferryman';
  }
  // A bare range such as "1" or "1.x" installs the last 1.x, which is new.
  const old = Number(version[1]) === 0 || (/^\d+$/.test(version[2] || '') && Number(version[2]) < 7);
  return old ? 'ferryman-old' : 'ferryman';
}

/**
 * Return `{dialect, sdk: {name, version} | null, package: {name, version, engines} | null}` of an image.
 * `asked` is a dialect that the manifest insists on, `auto` or nothing.
 */
function detect(folder, asked) {
  const found = readPackage(folder) || readPackage(process.cwd());
  const manifest = found || {};
  const sdk = choose(candidates(manifest, folder), manifest);
  const dialect = asked && asked !== 'auto' ? ALIASES[asked] || asked : dialectOf(sdk, manifest);
  if (!DIALECTS.includes(dialect)) {
    throw new Failure(`unknown dialect ${asked}; it is one of ${DIALECTS.join(', ')}`, 'config');
  }
  return {
    dialect,
    sdk: sdk && { name: sdk.name, version: sdk.version },
    package: found && { name: found.name || null, version: found.version || null, engines: found.engines || {} },
  };
}

module.exports = { detect };
