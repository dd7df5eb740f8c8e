package alert

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
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
	return &expression{program: program, fields: fieldsOf(checked)}, nil
}

// fieldsOf finds fields.name and fields["name"].
func fieldsOf(checked *cel.Ast) []string {
	var names []string
	isFields := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "fields" }
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			if s := e.AsSelect(); isFields(s.Operand()) {
				names = append(names, s.FieldName())
			}
		case ast.CallKind:
			call := e.AsCall()
			if args := call.Args(); call.FunctionName() == "_[_]" && isFields(args[0]) &&
				args[1].Kind() == ast.LiteralKind {
				if name, ok := args[1].AsLiteral().Value().(string); ok {
					names = append(names, name)
				}
			}
		}
	}))
	return names
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
