'use strict';

// The verb `describe`: what the image says about its component.

const fs = require('fs');
const path = require('path');
const { readJson } = require('./component');

const MAX_LOGO_BYTES = 200 * 1000;
const LOGOS = ['logo.png', 'logo.svg'];

function schema(component, value, label, problems) {
  if (typeof value !== 'string') {
    return value === undefined ? null : value;
  }
  try {
    return readJson(path.join(component.folder, value), value);
  } catch (error) {
    problems.push(`${label}: ${error.message}`);
    return null;
  }
}

/** Return `{in, out}` of a function as component.json has them, with the files they name read. */
function describeMetadata(component, found, problems) {
  const metadata = found.definition.metadata || {};
  const label = `metadata of ${found.name}`;
  return {
    in: schema(component, metadata.in, label, problems),
    out: schema(component, metadata.out, label, problems),
  };
}

function logo(folder, problems) {
  for (const name of LOGOS) {
    const file = path.join(folder, name);
    if (fs.existsSync(file)) {
      if (fs.statSync(file).size > MAX_LOGO_BYTES) {
        problems.push(`${name} is larger than ${MAX_LOGO_BYTES / 1000} kB and left out`);
        return { name: null, text: null };
      }
      return { name, text: fs.readFileSync(file).toString('base64') };
    }
  }
  return { name: null, text: null };
}

/** Return the DESCRIBE event. */
function describeComponent(component, sdk) {
  const problems = [];
  const metadata = {};
  component.names().forEach((name) => {
    metadata[name] = describeMetadata(component, component.find(name), problems);
  });
  const image = logo(component.folder, problems);
  return {
    type: 'DESCRIBE',
    component: component.json,
    dialect: sdk.dialect,
    sdk: sdk.sdk,
    package: sdk.package,
    node: process.version,
    metadata,
    files: {
      verifyCredentials: fs.existsSync(path.join(component.folder, 'verifyCredentials.js')),
      logo: image.text,
      logo_name: image.name,
    },
    problems,
  };
}

module.exports = { describeComponent, describeMetadata };
