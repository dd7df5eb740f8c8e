package flow

// Semantic says how the elements of a list belong together (RFC 6313, section
// 4.4).
type Semantic uint8

// The semantics of a list.
const (
	NoneOf       Semantic = 0
	ExactlyOneOf Semantic = 1
	OneOrMoreOf  Semantic = 2
	AllOf        Semantic = 3
	Ordered      Semantic = 4
	Undefined    Semantic = 255
)

// String returns the semantic's name as IANA's registry has it.
func (s Semantic) String() string {
	switch s {
	case NoneOf:
		return "noneOf"
	case ExactlyOneOf:
		return "exactlyOneOf"
	case OneOrMoreOf:
		return "oneOrMoreOf"
	case AllOf:
		return "allOf"
	case Ordered:
		return "ordered"
	}
	return "undefined"
}

// Nested is an element inside structured data (RFC 6313): a basicList (291), a
// subTemplateList (292) or a subTemplateMultiList (293). A list inside a list is
// an element itself, of which Value has all bytes; its contents follow it, one
// level deeper.
type Nested struct {
	Element
	Holder   uint16   // element 291, 292 or 293: the list it lies in
	Semantic Semantic // of that list
	Depth    uint8    // of that list: 1 in the record itself
	List     uint16   // number of that list in the record, from 0, in the order of their appearance
	Row      uint16   // which element of a basicList, which record of the others; from 0
}
