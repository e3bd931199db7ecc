'use strict';

// A file of its own because old releases of Node cannot even parse it; only loaded for an ECMAScript module.

module.exports = (url) => import(url);
