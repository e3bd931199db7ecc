'use strict';

// Names that look like a name: "did you mean".

function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}

/** Return the names of a list that are nearest to a name, best first, at most three. */
function near(name, names) {
  const wanted = name.toLowerCase().slice(0, 100);
  return names
    .map((candidate) => ({ candidate, far: distance(wanted, candidate.toLowerCase().slice(0, 100)) }))
    .filter((entry) => entry.far <= Math.max(2, wanted.length / 3))
    .sort((a, b) => a.far - b.far)
    .slice(0, 3)
    .map((entry) => entry.candidate);
}

/** Return the end of a message about an unknown name: what was meant, or what there is. */
function hint(name, names) {
  const close = near(name, names);
  if (close.length) {
    return `did you mean ${close.join(' or ')}?`;
  }
  return names.length ? `it has ${names.slice(0, 20).join(', ')}${names.length > 20 ? ', …' : ''}` : 'it has none';
}

module.exports = { hint };
