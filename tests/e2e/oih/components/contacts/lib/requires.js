const left = require('left-out-of-the-image');

module.exports.process = left;
