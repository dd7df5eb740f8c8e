package alert

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/decls"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
)

// errNoValue says that a sample lacks a tag or field which an expression uses.
var errNoValue = errors.New("no value")

// environment declares what expressions may use; it is that of Telegraf's
// metricpass, so that a condition may be moved between the two.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewEnv(
		cel.VariableDecls(
			decls.NewVariable("name", types.StringType),
			decls.NewVariable("tags", types.NewMapType(types.StringType, types.StringType)),
			decls.NewVariable("fields", types.NewMapType(types.StringType, types.DynType)),
			decls.NewVariable("time", types.TimestampType),
		),
		cel.Function("now", cel.Overload("now", nil, cel.TimestampType),
			cel.SingletonFunctionBinding(func(...ref.Val) ref.Val { return types.Timestamp{Time: time.Now()} })),
		ext.Encoders(), ext.Math(), ext.Strings(),
	)
})

// costLimit bounds the work of one evaluation, in cel-go's units.
const costLimit = 100_000

// expression is a compiled condition.
type expression struct {
	program cel.Program
	fields  []string // referred to, in the order of the text
	bounds  []bound
}

// bound is a number that a field is compared with.
type bound struct {
	field string
	value float64
}

// compile gives nil for an empty text.
func compile(option, text string) (*expression, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	env, err := environment()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fmt.Errorf("%s: %w", option, issues.Err())
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("%s: %q gives %s, expected bool", option, text, checked.OutputType())
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(costLimit))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return &expression{program: program, fields: fieldsOf(checked), bounds: boundsOf(checked)}, nil
}

// fieldsOf finds fields.name and fields["name"].
func fieldsOf(checked *cel.Ast) []string {
	var names []string
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if name := fieldOf(e); name != "" {
			names = append(names, name)
		}
	}))
	return names
}

// fieldOf returns the name in fields.name and fields["name"], "" of anything else.
func fieldOf(e ast.Expr) string {
	isFields := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "fields" }
	switch e.Kind() {
	case ast.SelectKind:
		if s := e.AsSelect(); isFields(s.Operand()) {
			return s.FieldName()
		}
	case ast.CallKind:
		call := e.AsCall()
		if args := call.Args(); call.FunctionName() == operators.Index && isFields(args[0]) &&
			args[1].Kind() == ast.LiteralKind {
			name, _ := args[1].AsLiteral().Value().(string)
			return name
		}
	}
	return ""
}

// boundsOf finds the numbers that fields are compared with, as in fields.name > 80.
func boundsOf(checked *cel.Ast) (list []bound) {
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		switch call.FunctionName() {
		case operators.Greater, operators.GreaterEquals, operators.Less, operators.LessEquals:
		default:
			return
		}
		args := call.Args()
		field, number := fieldOf(args[0]), args[1]
		if field == "" {
			field, number = fieldOf(args[1]), args[0]
		}
		if field == "" || number.Kind() != ast.LiteralKind {
			return
		}
		if v, ok := numberOf(number.AsLiteral().Value()); ok {
			list = append(list, bound{field, v})
		}
	}))
	return list
}

// holds evaluates; a nil expression is false.
func (e *expression) holds(vars map[string]any) (bool, error) {
	if e == nil {
		return false, nil
	}
	result, _, err := e.program.Eval(vars)
	if err != nil {
		if strings.HasPrefix(err.Error(), "no such key") {
			return false, fmt.Errorf("%w: %w", errNoValue, err)
		}
		return false, err
	}
	value, ok := result.Value().(bool)
	if !ok {
		return false, fmt.Errorf("expression gives %T, expected bool", result.Value())
	}
	return value, nil
}

func (s *Sample) vars() map[string]any {
	return map[string]any{"name": s.Name, "tags": s.Tags, "fields": s.Fields, "time": s.Time}
}
