// Package draw turns a path graph into a picture: SVG with a layout of its own,
// Mermaid and DOT for tools that have theirs. It decides nothing about what
// serves or fails: whoever calls it (hactl graph, the page) hands it marks.
//
// Everything is a function of its arguments, so that the same graph gives the
// same bytes. Names are hostile until they are escaped: no name becomes markup,
// a directive, or a character that XML does not have.
//
// # The layout
//
// Requests go from left to right. A node's column is the longest path to it,
// and at least that of its kind; columns without a node vanish. Edges that go
// past a column have a lane of their own between its boxes, and edges of one
// sort to one node share their lanes (bundles), so that a hundred names of one
// tunnel stay one line. Sweeps with barycentres order the columns, keeping the
// order with the fewest crossings; heights are those nearest to a node's
// neighbours that keep boxes apart (isotonic regression, exact for a column).
// Text is monospaced, as that is the only kind whose width is known without
// the font.
//
// Graph drawing packages for Go were looked at: those that are complete embed
// a JavaScript engine or Graphviz, and the others say that they are not.
package draw
